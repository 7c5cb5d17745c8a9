"""The world that a demo or an exercise plays in: real receivers on loopback, simulated people behind them."""
