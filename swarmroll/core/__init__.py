"""What planning, deciding and reporting need: pure values and functions, no clock and no IO."""
