"""DICOM results: SEG, SR and RTSTRUCT."""
