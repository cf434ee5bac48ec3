"""What the library is measured against: plain NumPy, and plain loops."""
