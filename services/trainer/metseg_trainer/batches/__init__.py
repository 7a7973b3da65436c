"""Training batches: prepared cases, sampling, augmentation and hard negatives."""
