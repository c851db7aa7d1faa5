"""Text that is to be spoken, and its sound: who says what with which pauses, numbers in words, what is said when."""
