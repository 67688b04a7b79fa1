"""In place of what is still to come."""

from genassoc.models.sets.tests import skat as skat_o  # noqa: F401
