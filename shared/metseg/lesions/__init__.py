"""Lesions in a mask: components, diameters, confidence and matching between scans."""
