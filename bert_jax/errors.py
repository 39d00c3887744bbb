"""The errors a person can mend.

Each is one sentence: what is wrong, and what to do about it. Scripts print these without a traceback;
any other exception is a bug and keeps its traceback.
"""


class BertJaxError(Exception):
    """Base of every error that the package raises on purpose."""


class ConfigError(BertJaxError):
    """A configuration that cannot work, found before anything is compiled."""


class TokenizerError(BertJaxError):
    """A vocabulary that cannot be read, trained or used."""


class CorpusError(BertJaxError):
    """A source or a stored corpus that is missing, damaged or half built."""


class CheckpointError(BertJaxError):
    """A checkpoint that is missing, damaged or of another model."""
