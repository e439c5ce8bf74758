"""Study of the single integrator in pixels: plans of thousands of decision variables held to the data by a score."""
