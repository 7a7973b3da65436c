"""The worker: reads a scan, asks the network, measures lesions, writes artefacts."""
