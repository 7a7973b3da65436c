"""What a job writes: masks, report, images, tables and documents."""
