"""DICOM series: choice of the series, checks, geometry and pixels."""
