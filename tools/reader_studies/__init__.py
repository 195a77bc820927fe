"""Blinded reader studies: the page that readers score in, and what their scores say."""
