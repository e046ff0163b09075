"""Keys of what is known of a car model: ``make|model``, and ``make|model|detail``."""

from typing import NamedTuple, Self

_SEPARATOR = "|"


class ModelKey(NamedTuple):
    """A make and one of its models, normalised.

    Examples
    --------
    >>> ModelKey.read("kia|rio"), str(ModelKey("kia", "rio"))
    (ModelKey(make='kia', model='rio'), 'kia|rio')
    """

    make: str
    model: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Read ``make|model``."""
        make, _, model = text.partition(_SEPARATOR)
        return cls(make, model)

    def __str__(self) -> str:
        """Return the key as features and model folders have it."""
        return _SEPARATOR.join(self)


class DetailKey(NamedTuple):
    """A make, its model, and something of that model: a variant, an age in years, an engine.

    Examples
    --------
    >>> key = DetailKey.read("kia|rio|GTX 1.4")
    >>> key.detail, str(key.of_model)
    ('GTX 1.4', 'kia|rio')
    """

    make: str
    model: str
    detail: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Read ``make|model|detail``."""
        return cls(*text.split(_SEPARATOR, 2))

    @property
    def of_model(self) -> ModelKey:
        """The model that the detail is of."""
        return ModelKey(self.make, self.model)


def detail_key(model: str, *details: str) -> str:
    """Return the key of what is known of a model; ``model`` is a :class:`ModelKey` as text.

    Examples
    --------
    >>> detail_key("kia|rio", "petrol", "manual")
    'kia|rio|petrol|manual'
    """
    return _SEPARATOR.join((model, *details))


def without_last(key: str) -> tuple[str, str]:
    """Return a key without its last part, and that part.

    Examples
    --------
    >>> without_last("kia|rio|petrol|7")
    ('kia|rio|petrol', '7')
    """
    before, _, last = key.rpartition(_SEPARATOR)
    return before, last


def has_detail(key: str) -> bool:
    """Whether ``make|model|detail`` ends in a detail."""
    return not key.endswith(_SEPARATOR)
