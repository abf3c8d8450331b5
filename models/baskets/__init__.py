"""The parts of next purchase: candidates from what all customers did, and the ranker that orders them."""
