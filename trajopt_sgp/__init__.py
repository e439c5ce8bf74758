"""Score-guided planning: from logged data to plans that can be trusted."""
