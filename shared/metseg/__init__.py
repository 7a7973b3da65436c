"""The library of metseg: what two services must agree on, to the voxel or the byte."""
