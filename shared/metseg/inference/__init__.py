"""From a scan to a probability volume: preprocessing, slices for the network, resampling back."""
