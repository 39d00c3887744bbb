from bert_jax.tokenization.json_tokenizer import JsonTokenizer as JsonTokenizer
from bert_jax.tokenization.loading import from_files as from_files
from bert_jax.tokenization.loading import load_tokenizer as load_tokenizer
from bert_jax.tokenization.sentence_piece import SentencePieceTokenizer as SentencePieceTokenizer
from bert_jax.tokenization.tokenizer import Tokenizer as Tokenizer
from bert_jax.tokenization.wordpiece import WordPieceTokenizer as WordPieceTokenizer
