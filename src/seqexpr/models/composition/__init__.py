"""Word counts and other summaries of a sequence, and the kernel flow, which predicts from them."""
