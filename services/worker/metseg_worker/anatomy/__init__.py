"""Head geometry and the location of lesions in it."""
