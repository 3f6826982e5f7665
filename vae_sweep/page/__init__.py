"""The page: analysis in, one self-contained HTML file out."""
