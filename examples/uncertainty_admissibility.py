"""Does an uncertainty know where a model is wrong? Three points of x² sin x, and three answers.

An ensemble and a Gaussian process predict x² sin x and say how sure they are; the smoothed distance says how far the
data are. Printed for each: on which share of [-2, 2] it underestimates, by what factor it must be multiplied to bound
the error everywhere, and how many of 100 descents of it end at the data.
"""

from pathlib import Path

from trajopt_sgp.studies.one_dimension.admissibility import AdmissibilitySettings, study_admissibility, truth
from trajopt_sgp.viz import plot_admissibility, save_figure


def main() -> None:
    """Fit, measure, print and draw."""
    found = study_admissibility(AdmissibilitySettings(seed=1, members=3, sigma=0.1))
    for name, numbers in found.numbers.items():
        low, factor, stable = (numbers[key] for key in ("underestimated", "factor", "stable"))
        print(f"{name}: underestimates on {low:.1%}, factor {factor:.1f}, {stable:.0%} of descents end at data")
    figure = plot_admissibility(found.x, found.data, truth, found.curves, found.numbers)
    print(f"wrote {save_figure(figure, Path('runs/examples/uncertainty_admissibility.png'))}")


if __name__ == "__main__":
    main()
