"""What the paper states, where, and the criterion by which each statement is judged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """What the paper says, where, and the criterion in words."""

    id: str
    source: str
    statement: str
    criterion: str


# What it means that a statement holds, and that it does not.
MEANINGS = {
    "single_step_floor": (
        "One step takes a batch below the loss that the run's best averaged model reaches on training data.",
        "One step does not take a batch below the loss of the run's best averaged model.",
    ),
    "single_step_gap": (
        "Hardly any of that carries over to other batches: a batch's gradient is mostly its own.",
        "More of it carries over to other batches than the criterion allows.",
    ),
    "single_step_rate": (
        "The step that is best for a batch is far too long for the others.",
        "The best step for other batches is not much shorter than for the batch itself.",
    ),
    "quadratic_own": (
        "Along its own gradient a batch's loss is close to a parabola, as the paper's model assumes.",
        "Along its own gradient a batch's loss is not close enough to a parabola.",
    ),
    "batch_size_gap": (
        "Larger batches have more in common with the rest of the data.",
        "The gap between a batch and the others does not shrink with its size.",
    ),
    "fixed_batch_floor": (
        "Three steps all but erase one batch's loss.",
        "Three steps leave more of the batch's loss than the criterion allows.",
    ),
    "fixed_batch_basin": (
        "Wherever on the run it is started, training on the batch ends in one basin.",
        "A ridge lies between what the two starting points lead to.",
    ),
    "average_is_schedule_swa": (
        "SWA lands where a linear decay of the rate would have landed.",
        "SWA differs from its trip on at least one score by more than the criterion allows.",
    ),
    "average_is_schedule_two_point": (
        "The midpoint of two iterates lands where half the rate would have landed.",
        "The two-point average differs from its trip on at least one score by more than the criterion allows.",
    ),
    "average_is_schedule_ema": (
        "The EMA lands where its decay of the rate would have landed.",
        "The EMA differs from its trip on at least one score by more than the criterion allows.",
    ),
    "averaging_helps": (
        "Averaging helps in every form.",
        "Not every average helps.",
    ),
    "midpoint_tracks_half_rate": (
        "All along the trip the midpoint is as good as a trip at half the rate.",
        "The midpoint and the trip at half the rate part in loss.",
    ),
    "midpoint_distance": (
        "The two are different points all the same, though nearer to each other than independent trips are.",
        "The two are not near each other in the sense of the criterion.",
    ),
    "fixed_gradient_norm": (
        "The size of a fixed batch's gradient hardly changes along the trip.",
        "The size of a fixed batch's gradient changes along the trip by more than the paper saw.",
    ),
    "fixed_gradient_direction": (
        "Its direction stays, so that a batch pulls the same way on both runs, as Lemma 2 assumes.",
        "Its direction does not stay as Lemma 2 assumes: averages and trips that agree, agree in loss, not in path.",
    ),
    "batch_gradients_orthogonal": (
        "Different batches pull in unrelated directions.",
        "Different batches pull in related directions.",
    ),
    "distance_saturates": (
        "Independent runs from one point settle at a fixed distance from each other, as on a shell.",
        "The distance between independent runs does not fall and then stay within the limits of the criterion.",
    ),
    "ema_two_scales": (
        "An EMA has the low noise of the small rate and the speed of the large one.",
        "An EMA does not have both at once in the sense of the criterion: it lags behind the run that it averages.",
    ),
    "stationary_radius": (
        "At a constant rate a run settles at a radius that grows with the square root of the rate.",
        "The stationary radius does not follow the square root of the rate within its interval.",
    ),
    "averaging_equals_schedule": (
        "Where gradients do not change, average and trip are the same point, to rounding.",
        "Average and trip differ where they must not: look for a defect.",
    ),
    "midpoint_inside": (
        "Midpoints lie inside the shell that the run moves on.",
        "Midpoints do not have the radius that independence implies.",
    ),
    "drag_and_drift": (
        "What a step adds to the norm and what it takes away add up exactly.",
        "Drag and drift do not add up: look for a defect.",
    ),
    "stationary_covariance": (
        "The closed form gives the spread of any average, in every direction.",
        "The closed form and the simulation differ by more than chance.",
    ),
    "cosine_run": (
        "The equivalence needs no constant rate.",
        "On a run with a cosine schedule at least one average differs from its trip by more than the criterion allows.",
    ),
}


STATEMENTS = [
    Statement(
        "single_step_floor",
        "Fig. 2",
        "one step on a batch takes that batch's loss below the average loss of a fully trained model",
        "lowest own-batch loss ÷ training loss of the run's best average < {single_step_floor:g}",
    ),
    Statement(
        "single_step_gap",
        "Fig. 2, 12",
        "on a held-out training batch only small steps help",
        "best relative drop, held-out ÷ own < {single_step_gap:g}",
    ),
    Statement(
        "single_step_rate",
        "Fig. 2",
        "the best step size differs greatly",
        "best step size, held-out ÷ own < {single_step_rate:g}",
    ),
    Statement(
        "quadratic_own",
        "Fig. 2, §3",
        "the own-batch loss is a low-degree polynomial of the step size",
        "R² of a parabola on [0, 1.5 × own best step] ≥ {quadratic_own:g}",
    ),
    Statement(
        "batch_size_gap",
        "Fig. 13",
        "the own-batch drop is orders of magnitude above the held-out drop, less so for very large batches",
        "log10 ratio of the drops, largest − smallest batch size, < 0",
    ),
    Statement(
        "fixed_batch_floor",
        "Fig. 3",
        "within 3 full-batch steps on one batch its loss is near 0",
        "own loss after 3 steps ÷ before < {fixed_batch_floor:g}",
    ),
    Statement(
        "fixed_batch_basin",
        "Fig. 3",
        "trips on the same fixed batch from t and t+Δ end in the same basin",
        "barrier after the last step ÷ loss before the first < {fixed_batch_basin:g}, own and held-out batch",
    ),
    *(
        Statement(
            f"average_is_schedule_{kernel}",
            "Table 1, Fig. 5, 10, 14",
            f"{title} and the side trip with its equivalent schedule reach the same accuracy and loss",
            "|average − trip| ÷ |average − momentary| < {average_is_schedule:g}, widest window, "
            "loss and accuracy, train and validation",
        )
        for kernel, title in (("swa", "the SWA average"), ("two_point", "the two-point average"), ("ema", "the EMA"))
    ),
    Statement(
        "averaging_helps", "Fig. 5", "every average beats the momentary model", "gain in validation loss > 0, each kind"
    ),
    Statement(
        "midpoint_tracks_half_rate",
        "Fig. 6",
        "the loss of the midpoint follows that of the λ/2 trip along the whole trip",
        "mean |difference| ÷ mean gain over the λ trip < {midpoint_tracks_half_rate:g}",
    ),
    Statement(
        "midpoint_distance",
        "Fig. 6",
        "midpoint and λ/2 trip are distinct, but far closer than two trips on different batches",
        "distance ÷ distance of two independent trips between 0 and {midpoint_distance:g}",
    ),
    Statement(
        "fixed_gradient_norm",
        "Fig. 7",
        "the gradient norm of a fixed batch changes by less than 5 % along the trip",
        "largest relative change, smoothed over {gradient_smoothing_steps} steps, < {fixed_gradient_norm:g}",
    ),
    Statement(
        "fixed_gradient_direction",
        "Fig. 7",
        "its cosine with the first gradient stays generally above 0.5",
        "share of steps with a cosine above {fixed_gradient_cosine:g} > {fixed_gradient_direction:g}",
    ),
    Statement(
        "batch_gradients_orthogonal",
        "Fig. 7",
        "gradients of independent batches are almost orthogonal",
        "mean |cosine| < {batch_gradients_orthogonal:g}",
    ),
    Statement(
        "distance_saturates",
        "Fig. 8",
        "the distance to the end of an independent trip falls monotonically, then stays",
        "Spearman ρ of distance with step < {distance_rank:g} up to the branch point; "
        "|change after| ÷ fall before < {distance_saturates:g}",
    ),
    Statement(
        "ema_two_scales",
        "Fig. 9, 11",
        "EMA at the large rate is as low as the small rate in the fast coordinate, as fast as the large in the slow",
        "both within the Monte-Carlo interval",
    ),
    Statement("stationary_radius", "Lemma 1", "stationary radius ∝ √λ", "log-log slope 0.5 within its interval"),
    Statement(
        "averaging_equals_schedule",
        "Lemma 2",
        "with constant gradients the trajectories coincide",
        "largest weight difference < {identity_error:g}",
    ),
    Statement(
        "midpoint_inside",
        "§4, Fig. 4b",
        "the midpoint of two points of the stationary ellipsoid has 1/√2 of their norm",
        "1/√2 within its interval",
    ),
    Statement(
        "drag_and_drift",
        "§4, Fig. 4a, eq. 8",
        "the change in squared norm is −λγ(2−λγ)‖θ‖² + λ²‖ξ‖²",
        "largest relative difference < {identity_error:g}",
    ),
    Statement(
        "stationary_covariance",
        "App. A eq. 19–21",
        "closed form for any kernel",
        "simulated ÷ closed form: 1 within its interval",
    ),
    Statement(
        "cosine_run",
        "Fig. 14, bottom row",
        "the same holds on a run whose main schedule is a cosine",
        "average_is_schedule on the cosine variant",
    ),
]
