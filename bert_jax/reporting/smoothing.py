"""Noisy values as a smooth line, and the range they lie in but for spikes."""

import numpy as np

SPIKE_REACH = 3  # values to each side
SPIKE = 6  # standard deviations from the values around


def reach(count: int) -> int:
    """How many of `count` values to each side a value is smoothed with."""
    return min(max(count // 25, 2), 50)


def smoothed(values: np.ndarray, half: int) -> np.ndarray:
    """The mean of the middle half of the values around each, as few outliers do not move it: [n] for [n].

    Args:
      values: [n]. half: to each side; fewer at the ends.
    """
    windows, counts = _windows(values, half)
    low, high = counts // 4, counts - counts // 4
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(np.nan_to_num(windows), axis=1)], axis=1)
    rows = np.arange(len(values))
    return (sums[rows, high] - sums[rows, low]) / (high - low)


def usual_range(values: np.ndarray, log: bool = False) -> tuple[float, float]:
    """The range of values [n]; without single spikes, where these would take up more than half of it.

    A spike stands far out from the values around it. The first and last values never count as spikes.
    """
    values = np.log(values) if log else values
    # Around each as many to the left as to the right, so that a slope is its own median.
    middle = values.copy()
    for half in range(1, SPIKE_REACH + 1):
        if len(values) > 2 * half:
            windows = np.lib.stride_tricks.sliding_window_view(values, 2 * half + 1)
            middle[half:-half] = np.median(windows, axis=1)
    noise = SPIKE * 1.48 * np.median(np.abs(values - middle))
    low, high = max(values.min(), middle.min() - noise), min(values.max(), middle.max() + noise)
    if values.max() - values.min() <= 2 * (high - low):
        low, high = values.min(), values.max()
    return (float(np.exp(low)), float(np.exp(high))) if log else (float(low), float(high))


def _windows(values: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """The sorted neighbours of each value [n, 2 half + 1], NaN last where there are fewer; and their number [n]."""
    padded = np.pad(values.astype(np.float64), half, constant_values=np.nan)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    return windows, (~np.isnan(windows)).sum(axis=1)
