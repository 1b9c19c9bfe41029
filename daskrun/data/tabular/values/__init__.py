"""What becomes of values: types of columns, their inference, conversion into them."""
