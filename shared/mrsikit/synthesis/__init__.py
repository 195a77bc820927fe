"""Virtual patients and what scanners make of them."""
