"""What a sweep says: run folders in, numbers and words out. Pure; numpy only."""
