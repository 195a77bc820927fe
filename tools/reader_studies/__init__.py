"""Blinded reader studies: the page on which readers score maps, and the evaluation of their scores."""
