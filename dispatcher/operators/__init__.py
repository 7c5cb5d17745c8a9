"""What operators do beside the path of a message: back up and restore, migrate, examine, measure, supervise, change keys."""
