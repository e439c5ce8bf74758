"""The report of accuracy: fields whose error and rotation are known, and what counts as dense data."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import energy_network, score_network
from tests.synthetic import linear_transitions
from trajopt_sgp.data import as_triples, triple_normalizer
from trajopt_sgp.errors import ConformanceError, IncompatibleError, OptionError, ShapeError
from trajopt_sgp.uncertainty import ExactSmoothedDistance, NearestDistance, ScoreAccuracy, check_score, score_accuracy
from trajopt_sgp.uncertainty.accuracy import asymmetry, counting_points

DATA = linear_transitions(400, 0)
EXACT = ExactSmoothedDistance(DATA)


class Field:
    """A field made from the closed form over the data."""

    sigma_range = EXACT.sigma_range

    def __init__(self, change: Callable[[Tensor], Tensor], exact: ExactSmoothedDistance = EXACT) -> None:
        self._change, self._exact = change, exact

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        return self._exact.normalize(state, control)

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return self._change(self._exact.distance_gradient(z, sigma))


class Rotation:
    """z plus a rotation about the origin: J = I + rate A with A antisymmetric of the norm of I."""

    sigma_range = (0.1, 0.5)

    def __init__(self, rate: float, along: float = 1.0) -> None:
        self._rate, self._along = rate, along

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        return torch.cat([state, control], dim=-1)

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        across = torch.stack([-z[..., 1], z[..., 0]], dim=-1)
        return self._along * z + self._rate * across


def test_the_closed_form_has_no_error_and_no_rotation() -> None:
    accuracy = score_accuracy(EXACT, DATA, queries=100)
    assert [level.sigma for level in accuracy.levels] == pytest.approx(np.geomspace(0.02, 0.6, 7).tolist())
    for level in accuracy.levels:
        errors = [error for error in (level.dense_error, level.sparse_error) if error is not None]
        assert max(errors) < 1e-3
        assert level.asymmetry < 1e-12
        assert level.dense_queries + level.sparse_queries == 100
    first, last = accuracy.levels[0], accuracy.levels[-1]
    assert (first.dense_queries, first.dense_error) == (0, None)
    assert last.dense_queries > 0


def test_the_error_is_relative_to_the_closed_form() -> None:
    accuracy = score_accuracy(Field(lambda gradient: 1.2 * gradient), DATA, [0.6, 0.4])
    assert [level.sigma for level in accuracy.levels] == [0.4, 0.6]
    for level in accuracy.levels:
        assert level.dense_error == pytest.approx(0.2, abs=1e-3)
        assert level.sparse_error == pytest.approx(0.2, abs=1e-3)
    assert accuracy.worst_dense_error == max(level.dense_error or 0.0 for level in accuracy.levels)


@pytest.mark.parametrize("sigma", [0.1, 0.4])
def test_points_count_by_their_weights(sigma: float) -> None:
    z = EXACT.points[:50] + 0.3
    exponents = -(z[:, None] - EXACT.points).square().sum(-1) / (2.0 * sigma**2)
    weights = (exponents - exponents.amax(1, keepdim=True)).exp()
    assert torch.equal(counting_points(z, EXACT.points, sigma), (weights > 0.01).sum(1))


@pytest.mark.parametrize("rate", [0.0, 0.3, 2.0])
def test_asymmetry_is_the_rate_of_rotation(rate: float) -> None:
    z = torch.randn((150, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert asymmetry(Rotation(rate), z, 0.2) == pytest.approx(rate, abs=1e-12)
    assert asymmetry(Rotation(rate, along=0.0), z, 0.2) == (np.inf if rate else 0.0)


def detached(field: Rotation) -> Rotation:
    """The same values, of which autograd knows nothing."""
    followed = field.distance_gradient
    field.distance_gradient = lambda z, sigma: followed(z.detach(), sigma)  # type: ignore[method-assign]
    return field


def test_the_asymmetry_of_a_field_that_autograd_does_not_see_is_unknown() -> None:
    z = torch.randn((150, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert np.isnan(asymmetry(detached(Rotation(0.3)), z, 0.2))
    assert np.isnan(asymmetry(detached(Rotation(0.0)), z, 0.2))
    # one that is the same everywhere is known
    assert asymmetry(detached(Rotation(0.0, along=0.0)), z, 0.2) == 0.0
    accuracy = score_accuracy(Field(Tensor.detach), DATA, np.array([0.4]), 20)
    assert accuracy.to_json()["levels"][0]["asymmetry"] is None
    assert str(accuracy).split()[-1] == "nan"
    assert accuracy.levels[0].error < 1e-3


def test_energies_do_not_rotate_and_scores_may() -> None:
    energy, score = (make(DATA).double() for make in (energy_network, score_network))
    energies, scores = (score_accuracy(model, DATA, [0.2], 64).levels[0].asymmetry for model in (energy, score))
    assert energies < 1e-12
    assert scores > 1e-3


def test_models_of_next_states_are_judged_on_triples() -> None:
    triples = as_triples(DATA)
    model = ExactSmoothedDistance(triples, triple_normalizer(triples, stretch=3.0))
    accuracy = score_accuracy(model, triples, [0.6], 50)
    errors = [accuracy.levels[0].dense_error, accuracy.levels[0].sparse_error]
    assert max(error for error in errors if error is not None) < 1e-3
    assert model.points.shape[1] == 8
    with pytest.raises(IncompatibleError, match="on as_triples"):
        score_accuracy(model, DATA)


def test_the_report_is_repeatable_and_says_all_in_json_and_text() -> None:
    model = score_network(DATA)
    accuracy = score_accuracy(model, DATA, [0.02, 0.6], 50)
    assert accuracy == score_accuracy(model, DATA, [0.02, 0.6], 50)
    assert accuracy != score_accuracy(model, DATA, [0.02, 0.6], 50, torch.Generator().manual_seed(1))
    document = json.loads(json.dumps(accuracy.to_json()))
    assert document["model"] == "ScoreNetwork"
    assert document["points"] == 400
    assert document["levels"][0]["dense_error"] is None
    lines = str(accuracy).splitlines()
    assert len(lines) == 4
    assert lines[2].split()[:3] == ["0.02", "-", "0"]
    assert f"{document['levels'][1]['dense_error']:.3f}" in lines[3]


def test_check_score_judges_accuracy_where_it_is_given_the_data() -> None:
    states, controls = torch.tensor(DATA.states[:20]), torch.tensor(DATA.controls[:20])
    assert check_score(EXACT, states, controls) is None
    accuracy = check_score(EXACT, states, controls, data=DATA)
    assert isinstance(accuracy, ScoreAccuracy)
    # weights that nothing has trained
    model = energy_network(DATA)
    with pytest.raises(ConformanceError, match=r"more than 15% in dense data:\nEnergyNetwork: .* 400 points"):
        check_score(model, states, controls, data=DATA)
    assert check_score(model, states, controls, data=DATA, largest_error=1e3) is not None


def test_check_score_takes_data_for_models_without_noise_levels() -> None:
    """Nothing says which closed form they should follow."""
    states, controls = torch.tensor(DATA.states[:4] + 0.01), torch.tensor(DATA.controls[:4])
    assert check_score(NearestDistance(DATA), states, controls, data=DATA) is None


def turned(gradient: Tensor) -> Tensor:
    """Gradients that are as long as the true ones and at right angles to them."""
    x = torch.split(gradient, 1, dim=-1)
    return torch.cat([-x[1], x[0], -x[3], x[2], torch.zeros_like(x[4])], dim=-1)


@pytest.mark.parametrize(
    ("change", "error"),
    [(torch.neg, 2.0), (torch.zeros_like, 1.0), (turned, 1.4)],
    ids=["uphill", "nothing", "a rotation"],
)
def test_fields_that_say_nothing_are_refused_where_no_data_are_dense(
    change: Callable[[Tensor], Tensor], error: float
) -> None:
    few = linear_transitions(90, 0)
    exact = ExactSmoothedDistance(few)
    states, controls = torch.tensor(few.states[:20]), torch.tensor(few.controls[:20])
    accuracy = check_score(Field(lambda gradient: 1.4 * gradient, exact), states, controls, data=few)
    assert accuracy is not None
    assert accuracy.worst_dense_error is None
    assert accuracy.levels[-1].error == pytest.approx(0.4, abs=1e-3)
    with pytest.raises(ConformanceError, match=r"says nothing about the data: at sigma = 0.6 .* zeros is 1:\nField"):
        check_score(Field(change, exact), states, controls, data=few)
    judged = score_accuracy(Field(change, exact), few, [0.6])
    assert judged.levels[0].error == pytest.approx(error, rel=0.05)


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(OptionError, match="queries = 0"):
        score_accuracy(EXACT, DATA, queries=0)
    with pytest.raises(OptionError, match="outside the model's range"):
        score_accuracy(EXACT, DATA, [0.01])
    with pytest.raises(IncompatibleError, match="on its own data"):
        score_accuracy(EXACT, linear_transitions(400, 1))
    with pytest.raises(ShapeError, match="states"):
        score_accuracy(Field(lambda gradient: gradient), as_triples(DATA), [0.1])
