"""The command ``daskrun``: each of its commands calls what the public Python API has."""
