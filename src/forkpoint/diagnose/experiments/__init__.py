"""The experiments that follow once origins are known; one file each."""
