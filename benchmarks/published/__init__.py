"""Other people's examples, trained by this tool and held to the figures that they published (docs/validity.md)."""
