"""Smoothing of noisy values, and their range without spikes."""

import numpy as np

SPIKE_REACH = 3  # neighbours on each side
SPIKE = 6  # standard deviations from the neighbours


def reach(count: int) -> int:
    """Returns the number of neighbours on each side for smoothing `count` values."""
    return min(max(count // 25, 2), 50)


def smoothed(values: np.ndarray, half: int) -> np.ndarray:
    """Returns the mean of the middle half of the values around each [n]; single outliers do not change it.

    Args:
      values: [n].
      half: the number of neighbours on each side; there are fewer at the ends.
    """
    windows, counts = _windows(values, half)
    low, high = counts // 4, counts - counts // 4
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(np.nan_to_num(windows), axis=1)], axis=1)
    rows = np.arange(len(values))
    return (sums[rows, high] - sums[rows, low]) / (high - low)


def usual_range(values: np.ndarray, log: bool = False) -> tuple[float, float]:
    """Returns the range of values [n], without single spikes if they would take up more than half of it.

    A spike is far from the values around it. The first and last values never count as spikes.
    """
    values = np.log(values) if log else values
    # Windows are symmetric, so that the median of a slope is its middle.
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
    """Returns the sorted window around each value [n, 2 half + 1], padded with NaN, and its number of values [n]."""
    padded = np.pad(values.astype(np.float64), half, constant_values=np.nan)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    return windows, (~np.isnan(windows)).sum(axis=1)
