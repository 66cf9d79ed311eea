"""A T5-style Unigram tokenizer over the caption language, with every printable ASCII character as a fallback."""

import json
import random
import string
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, T5TokenizerFast

from data import WAN_NEGATIVE, caption, sample_spec

OUT = sys.argv[1] if len(sys.argv) > 1 else "ckpt/tokenizer"
SPECIAL = ["<pad>", "</s>", "<unk>"]

rng = random.Random(0)
corpus = [caption(sample_spec(rng), rng) for _ in range(20000)]
tok = Tokenizer(models.Unigram())
tok.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always", True)]
)
tok.decoder = decoders.Metaspace("▁", "always", True)
tok.train_from_iterator(
    corpus,
    trainers.UnigramTrainer(
        vocab_size=512,
        special_tokens=SPECIAL,
        unk_token="<unk>",
        max_piece_length=16,
        initial_alphabet=list(string.printable[:95]),
        show_progress=False,
    ),
)
# Whole caption words become one token each, single characters stay as a fallback.
vocab = {t: s for t, s in json.loads(tok.to_str())["model"]["vocab"]}
words = sorted({"▁" + w for c in corpus for w in c.replace(",", " ").replace(".", " ").split()})
floor = min(vocab.values()) - 1
for c in list(string.printable[:95].replace(" ", "")) + ["▁"]:
    vocab.setdefault(c, floor)
best = max(s for t, s in vocab.items() if t not in SPECIAL)
for w in words:
    vocab[w] = max(vocab.get(w, -1e9), best - 1.0)
pieces = [(t, 0.0) for t in SPECIAL] + sorted(
    ((t, s) for t, s in vocab.items() if t not in SPECIAL), key=lambda x: -x[1]
)
assert len(pieces) <= 1024
tok.model = models.Unigram(pieces, unk_id=2, byte_fallback=False)
tok.post_processor = processors.TemplateProcessing(
    single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)]
)
fast = T5TokenizerFast(tokenizer_object=tok, vocab=pieces, extra_ids=0, model_max_length=512)
fast.save_pretrained(OUT)

re = AutoTokenizer.from_pretrained(OUT)
raw = Tokenizer.from_file(OUT + "/tokenizer.json")
print(type(re).__name__, "vocab", len(re), re.pad_token_id, re.eos_token_id, re.unk_token_id)
for text in corpus[:4] + ["", "Zebra {x} 100%! <html>", "a red circle\nmoving", WAN_NEGATIVE]:
    ids = re(text).input_ids
    assert ids == raw.encode(text).ids, (ids, raw.encode(text).ids)
    print(len(ids), re.convert_ids_to_tokens(ids), "|", re.decode(ids))
