"""Floor 5: does under trio what `_decide` says: asks models, calls tools, reads and writes sessions and journals."""
