"""Runs over HTTP: started in the background, followed, steered, listed, and told of. Knows no other resource."""
