"""Studies: experiments that put the parts together and measure them."""
