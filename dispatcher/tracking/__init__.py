"""What comes back after a message was sent: receipts and acknowledgements, until the alert is closed."""
