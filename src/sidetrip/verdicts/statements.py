"""What the paper states, where, how each statement is judged, and what it means that it holds or not.

Statements of this project stand with their judges, as `STATEMENTS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidetrip.verdicts.wording import method_words


@dataclass(frozen=True)
class Statement:
    """One statement, of the paper or of this project."""

    id: str
    source: str  # where it stands
    statement: str  # what it says in brief
    criterion: str  # how it is judged; names of thresholds in braces
    if_true: str  # what the verdict means, in a sentence
    if_false: str
    if_within: str | None = None  # if two things that are compared for equality differ, within what is allowed
    analytic: bool = False  # whether it is of the analytic model, and so of no variant


def average_is_schedule(method: str) -> Statement:
    """That a method's average and its trip are equal."""
    words = method_words(method)
    subject = words.phrase[0].upper() + words.phrase[1:]
    return Statement(
        f"average_is_schedule_{method}",
        words.source,
        f"{words.phrase} and the side trip with its equivalent schedule reach the same accuracy and loss",
        "average − trip within ± {average_is_schedule:g} × gain (two one-sided tests at {level:g}), widest window; "
        "loss and accuracy, train and validation",
        f"{subject} lands where {words.schedule} would have landed.",
        f"{subject} differs from its trip in at least one score by more than the criterion allows.",
        f"{subject} and its trip ({words.schedule}) do not end quite alike: they differ, by less than the criterion "
        "allows.",
    )


BEFORE_METHODS = (
    Statement(
        "single_step_floor",
        "Fig. 2",
        "one step on a batch takes that batch's loss below the average loss of a fully trained model",
        "lowest own-batch loss ÷ loss, on training batches of the same kind, of the run after a linear decay to 0 over "
        "a further run's length < {single_step_floor:g}",
        "One step takes a batch below the loss that the run has on such batches once its rate has decayed to 0.",
        "One step does not take a batch below the loss that the run has on such batches after a decay to 0.",
    ),
    Statement(
        "single_step_gap",
        "Fig. 2, 12",
        "on a held-out training batch only small steps help",
        "best relative drop of the loss, held-out ÷ own batch < {single_step_gap:g}",
        "Hardly any of what a step gains on its own batch carries over to other batches.",
        "More of what a step gains on its own batch carries over to other batches than the criterion allows.",
    ),
    Statement(
        "single_step_rate",
        "Fig. 2",
        "the best step size differs greatly",
        "best step size, held-out ÷ own batch < {single_step_rate:g}",
        "The step that is best for a batch is far too long for the others.",
        "The best step for other batches is not much shorter than the best for the batch itself.",
    ),
    Statement(
        "quadratic_own",
        "abstract",
        "along the step the own-batch loss is nearly quadratic",
        "R² of a parabola on evenly spaced step sizes of [0, 1.5 × own best step] ≥ {quadratic_own:g}",
        "Along its own gradient a batch's loss is close to a parabola.",
        "Along its own gradient a batch's loss is not close enough to a parabola.",
    ),
    Statement(
        "low_degree_own",
        "§3",
        "along the step the own-batch loss is a polynomial of low degree",
        "R² of a cubic on evenly spaced step sizes of [0, 1.5 × own best step] ≥ {low_degree_own:g}",
        "A polynomial of degree three describes it.",
        "A polynomial of degree three does not describe it closely enough.",
    ),
    Statement(
        "batch_size_gap",
        "Fig. 13",
        "the own-batch drop is orders of magnitude above the held-out drop, less so for very large batches",
        "own ÷ held-out drop > {batch_size_gap:g} at the run's batch size (judged as own − {batch_size_gap:g} × "
        "held-out drop > 0); log10 of the ratio lower at the largest batch than at the smallest",
        "The smaller the batch, the more its gradient is its own.",
        "The gap between a batch and the others is not that large, or does not shrink with the batch size.",
    ),
    Statement(
        "fixed_batch_floor",
        "Fig. 3",
        "within 3 full-batch steps on one batch its loss is near 0",
        "own loss after 3 steps ÷ before < {fixed_batch_floor:g}; step size by line search",
        "Three steps all but erase one batch's loss.",
        "Three steps leave more of the batch's loss than the criterion allows.",
    ),
    Statement(
        "fixed_batch_held_out",
        "Fig. 3",
        "meanwhile the held-out loss increases dramatically",
        "held-out loss after the last step ÷ before the first > {fixed_batch_held_out:g}; several batches a seed",
        "While steps are taken on one batch, the loss of other batches rises; how far stands in the table.",
        "While steps are taken on one batch, the loss of other batches does not rise.",
    ),
    Statement(
        "fixed_batch_basin",
        "Fig. 3",
        "trips on the same fixed batch from t and t+Δ end in the same basin, for the own and for the held-out batch",
        "rise on the line between the ends over the worse end ÷ loss before the first step < {fixed_batch_basin:g}; "
        "control: from two initialisations a ridge must show",
        "Training on one batch from two points of the run ends in one basin: no ridge lies between the ends.",
        "Training on one batch from two points of the run does not end in one basin in the sense of the criterion.",
    ),
)

AFTER_METHODS = (
    Statement(
        "averaging_helps",
        "Fig. 5",
        "every average beats the momentary model (constant rate)",
        "gain in validation loss > 0, every method",
        "Every average is better than the momentary model, the weights as they are at the end of its window.",
        "At least one average is not better than the momentary model.",
    ),
    Statement(
        "midpoint_tracks_half_rate",
        "Fig. 6",
        "the training loss of the midpoint follows that of the λ/2 trip along the whole trip",
        "midpoint − λ/2 trip in training loss, mean over ten looks or more, within ± {midpoint_tracks_half_rate:g} × "
        "gain over the λ trip (two one-sided tests at {level:g})",
        "On average over the trip the midpoint is as good as a trip at half the rate.",
        "Midpoint and trip at half the rate differ in training loss by more than the criterion allows.",
        "On average over the trip, midpoint and trip at half the rate differ by less than the criterion allows.",
    ),
    Statement(
        "midpoint_distance",
        "Fig. 6",
        "midpoint and λ/2 trip are distinct, but far closer than two trips on different batches",
        "their distance ÷ distance of two independent trips between 0 and {midpoint_distance:g}",
        "Midpoint and trip at half the rate are different points, but far nearer to each other than independent trips.",
        "Midpoint and trip at half the rate are not as near to each other as the criterion asks for.",
    ),
    Statement(
        "fixed_gradient_norm",
        "Fig. 7",
        "the gradient norm of a fixed batch changes by less than 5 % along the trip",
        "log of its mean over the second half of the trip ÷ over the first, within ± {fixed_gradient_norm:g}; "
        "each of the two trips",
        "The size of a fixed batch's gradient hardly changes along the trip.",
        "The size of a fixed batch's gradient changes along the trip by more than the criterion allows.",
    ),
    Statement(
        "fixed_gradient_direction",
        "Fig. 7",
        "its cosine with the first gradient stays generally above 0.5",
        "share of the looks with a cosine above {fixed_gradient_cosine:g} > {fixed_gradient_direction:g}; each of "
        "the two trips",
        "The gradient of a fixed batch keeps its direction along the trip, as Lemma 2 assumes.",
        "The gradient of a fixed batch does not keep its direction along the trip as Lemma 2 assumes.",
    ),
    Statement(
        "trips_aligned",
        "Fig. 7",
        "gradients of a fixed batch on two parallel trips are even closer aligned than first and last of one",
        "cosine between the trips − cosine with the first gradient, mean over the looks, > 0",
        "The gradients of a batch on two trips at equal step are closer to each other than to the first gradient.",
        "The gradients of a batch on two trips at equal step are no closer to each other than to the first gradient.",
    ),
    Statement(
        "batch_gradients_orthogonal",
        "Fig. 7",
        "gradients of independent batches are almost orthogonal",
        "mean signed cosine, within ± {batch_gradients_orthogonal:g}; each of the two trips",
        "The gradients of different batches have little in common.",
        "The gradients of different batches have more in common than the criterion allows.",
    ),
    Statement(
        "distance_saturates",
        "Fig. 8",
        "the distance of θ_t to the end of an independent trip that shares the burn-in falls monotonically, then stays",
        "independent trip from the early branch point to the end of the run; after that point: level over the last "
        "third ÷ distance at the point < {distance_level:g}, change within that third ÷ level within ± "
        "{distance_change:g}",
        "After the point that both leave, the run comes nearer to the end of the independent trip, then stays about as "
        "far.",
        "The distance does not fall and then stay within the limits of the criterion.",
    ),
    Statement(
        "ema_two_scales",
        "Fig. 9, 11",
        "EMA keeps the speed of the large rate, unlike the small rate, and lowers the stationary loss",
        "decay rate of the slow loss ÷ that of the large rate within 1 ± {ema_two_scales:g}; last total loss below "
        "that of the large and that of the small rate",
        "The slow part of an EMA's loss falls as fast as at the large rate, a fixed number of steps later, and the "
        "loss ends below that of each rate.",
        "The loss of an EMA does not fall as fast as at the large rate, or does not end below that of each rate.",
        analytic=True,
    ),
    Statement(
        "stationary_radius",
        "Lemma 1",
        "stationary radius ∝ √λ",
        "log-log slope: 0.5 within its interval; for A = I, squared radius ÷ λ/(2−λ)·E‖c‖²: 1 within its interval",
        "At a constant rate a run settles at a radius that grows with the square root of the rate.",
        "The stationary radius does not follow the square root of the rate within its interval.",
        analytic=True,
    ),
    Statement(
        "averaging_equals_schedule",
        "Lemma 2",
        "with constant gradients the trajectories coincide",
        "largest weight difference < {identity_error:g}",
        "Where gradients do not change, average and trip are the same point, to rounding.",
        "Average and trip differ where they must not: look for a defect.",
        analytic=True,
    ),
    Statement(
        "midpoint_inside",
        "§4, Fig. 4b",
        "the midpoint of two independent points of the stationary ellipsoid has 1/√2 of their norm",
        "1/√2 within its interval",
        "Midpoints lie inside the ellipsoid that a run at a constant rate moves on.",
        "Midpoints do not have the radius that independence implies.",
        analytic=True,
    ),
    Statement(
        "drag_and_drift",
        "§4, Fig. 4a, eq. 8",
        "the change in squared norm is −λγ(2−λγ)‖θ‖² + λ²‖ξ‖²",
        "largest relative difference < {identity_error:g}",
        "What a step takes from the squared norm and what it adds to it sum up exactly.",
        "Drag and drift do not add up: look for a defect.",
        analytic=True,
    ),
    Statement(
        "stationary_covariance",
        "App. A eq. 19–21",
        "closed form for any kernel",
        "simulated ÷ closed form: 1 within its interval",
        "The closed form gives the spread of any average, in every direction.",
        "The closed form and the simulation differ by more than chance.",
        analytic=True,
    ),
    Statement(
        "cosine_run",
        "Fig. 14, bottom row",
        "the same holds, to a fixed margin in nats and points, for SWA on a run whose main schedule is a cosine",
        "average − trip within ± {cosine_run_loss:g} nats and ± {cosine_run_accuracy:g} of the pictures; train and "
        "validation",
        "SWA lands within a fixed margin of where its decay would have landed on a run with a falling rate, too; where "
        "little is gained the margin is wide.",
        "On a run with a cosine schedule SWA differs from its trip by more than the criterion allows.",
    ),
)
