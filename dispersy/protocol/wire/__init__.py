"""The wire format: message by message and frame by frame, bytes to typed values and back."""
