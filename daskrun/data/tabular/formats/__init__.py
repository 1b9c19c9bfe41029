"""The formats of tables: a folder for each, and the contract that all of them keep."""
