"""The usual names of columns, as `columns.plain` writes them.

They are those that GLUE, SNLI, SuperGLUE and the data sets of Hugging Face and TFDS use.
"""

import re

# Names of one line are equally good; two of them in a table are ambiguous. Earlier lines win.
TEXTS = (
    ("text", "sentence"),
    (
        *("review", "reviewtext", "reviewbody", "content", "comment", "commenttext", "tweet", "post", "message"),
        *("utterance", "utt", "query", "question", "passage", "document", "article", "abstract", "description"),
        *("body", "phrase", "premise", "sentence1", "sentencea", "texta", "text1", "input"),
    ),
    ("title", "headline", "subject"),
)
PAIRS = (
    ("sentence1", "sentence2"),
    ("sentencea", "sentenceb"),
    ("text1", "text2"),
    ("texta", "textb"),
    ("text", "text2"),
    ("text", "textpair"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "passage"),
    ("question", "sentence"),
    ("question", "context"),
    ("question", "answer"),
    ("query", "passage"),
    ("query", "document"),
    ("anchor", "positive"),
    ("query", "positive"),
    ("sent0", "sent1"),  # SimCSE's own files
    ("#1string", "#2string"),  # MRPC's own files
)
LABELS = (
    ("labeltext", "labelname", "goldlabel"),  # names beside numbers; the consensus beside each annotator's label
    ("label", "labels"),
    (
        *("target", "category", "categories", "class", "intent", "sentiment", "polarity", "emotion", "topic", "tag"),
        *("score", "similarity", "similarityscore", "relatednessscore", "entailmentlabel", "entailmentjudgment"),
        *("stars", "star", "starrating", "rating", "overall", "isduplicate", "duplicate", "quality", "gold", "answer"),
    ),
)
TOKENS = (("tokens", "token", "words", "word", "form"),)
TAGS = (
    (
        *("tags", "tag", "nertags", "nertag", "ner", "postags", "postag", "pos", "upos", "xpos", "chunktags", "chunks"),
        *("labels", "label", "entity", "entities"),
    ),
)
DOCUMENTS = (("sentences",), ("source", "document", "article"), ("text", "body", "content", "input", "src"))
SUMMARIES = (
    ("summary", "summaries"),
    ("target", "targets", "highlights", "tldr", "abstract", "reference", "references"),
)
SENTENCE_LABELS = (("sourcelabels", "sentencelabels"), ("labels", "label", "oracle"))
CHOICE_QUESTIONS = (
    ("question", "questionstem", "stem"),
    ("startphrase",),
    ("premise", "goal", "ctx", "sent1", "query", "context"),
)
CHOICE_CONTEXTS = (("premise", "context", "article", "passage"),)
CANDIDATES = (("candidates", "choices", "options", "endings", "answers"),)
# A column for each candidate: choice1, choice_a, ending0, sol1, answerA.
CANDIDATE = re.compile(r"(choice|option|ending|candidate|alternative|sol|answer)(\d{1,2}|[a-z])")
CHOICE_ANSWERS = (("answer", "answerkey", "label", "gold", "correct", "correctanswer", "target"),)
PASSAGE_QUESTIONS = (("question", "questiontext", "query", "querytext"),)
PASSAGES = (("context", "contexttext"), ("passage", "passagetext", "paragraph", "document", "article"), ("text",))
PASSAGE_ANSWERS = (("answers",), ("answer", "answertext", "goldanswers"))
NEGATIVES = (("negative", "hardnegative", "hardneg", "neg"),)
