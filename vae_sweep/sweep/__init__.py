"""From what is asked for to trained runs: settings, forecast, plan, and the order in which they happen."""
