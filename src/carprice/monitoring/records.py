"""What the prediction log and the table of observations hold: the name of each column."""

from typing import Final

QUOTE_ID: Final = "quote_id"
"""Names an answer; :data:`carprice.appraisal.quote.QUOTE` has its own, which is taken here."""
ANSWERED_AT: Final = "answered_at"
ROUTE: Final = "route"
MODEL_VERSION: Final = "model_version"
MODEL_DIGEST: Final = "model_digest"
ALIAS: Final = "alias"
"""``production`` or ``challenger``: under which alias the model that priced it was served."""
SHADOW: Final = "shadow"
"""Whether the price was computed beside the answer, and not told."""
CONFIDENCE: Final = "confidence"
PRICE: Final = "quoted_price"
LOW: Final = "quoted_low"
HIGH: Final = "quoted_high"
VALUATION_DATE: Final = "valuation_date"
CURRENCY: Final = "currency"
CAUTIONS: Final = "cautions"
"""Kinds and fields of the cautions, such as ``outside_range:odometer``, a list of texts."""
ASKING_PRICE: Final = "asking_price"
LABEL: Final = "deal"
MILLISECONDS: Final = "milliseconds"
PROBLEM: Final = "problem"
"""Why there is no price; empty where there is one. Shadow pricing of a broken model has it."""

ANSWER_COLUMNS: Final = (
    *(QUOTE_ID, ANSWERED_AT, ROUTE, MODEL_VERSION, MODEL_DIGEST, ALIAS, SHADOW),
    *(CONFIDENCE, PRICE, LOW, HIGH, VALUATION_DATE, CURRENCY, CAUTIONS),
    *(ASKING_PRICE, LABEL, MILLISECONDS, PROBLEM),
)
"""Columns of the prediction log before those of the listing, which have the names of
:data:`carprice.schema.FIELDS` and of the market's own columns."""

LINE: Final = (
    *(MODEL_VERSION, MODEL_DIGEST, CURRENCY, ROUTE, ALIAS, SHADOW, CONFIDENCE),
    *(QUOTE_ID, ANSWERED_AT, MILLISECONDS, PROBLEM),
    *(PRICE, LOW, HIGH, VALUATION_DATE, CAUTIONS, LABEL),
    ASKING_PRICE,
)
"""The same columns in the order of a journal's lines: first what many of them have in common."""

OBSERVED_PRICE: Final = "observed_price"
OBSERVED_ON: Final = "observed_on"
"""The day of a sale, or of a fresh listing."""
TOLD_ON: Final = "told_on"
"""The day (UTC) on which a sale was told; missing for fresh listings."""
SOURCE: Final = "source"
"""Where an observed price is from: :data:`SOLD`, :data:`OFFERED` or :data:`LISTED`."""
SOLD: Final = "sold"
OFFERED: Final = "offered"
LISTED: Final = "listed"

OBSERVATION_COLUMNS: Final = (
    *(SOURCE, OBSERVED_PRICE, OBSERVED_ON, TOLD_ON, QUOTE_ID),
    *(ANSWERED_AT, MODEL_VERSION, MODEL_DIGEST, ALIAS, PRICE, LOW, HIGH, CONFIDENCE),
    *(ASKING_PRICE, CURRENCY),
)
"""Columns of the observations before those of the listing: prices that were seen, and, where the
service had priced the car, what it had said. Missing where it had not."""
