"""Looks inside trained models: parameters, attention, attributions. Functions return arrays; beside them, some draw."""
