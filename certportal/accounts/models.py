"""People. Everyone logs in with an e-mail address; reviewers belong to the accreditation group."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class ReviewRole(models.TextChoices):
    """What a person does in the accreditation group."""

    NONE = "", _("none")
    REVIEWER = "reviewer", _("Reviewer")
    LEAD_REVIEWER = "lead_reviewer", _("Lead reviewer")


class UserManager(BaseUserManager["User"]):
    """Creates users whose e-mail address is kept in lower case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person of a vendor, of the accreditation group, or of the operator."""

    email = models.EmailField(_("e-mail address"), max_length=254)
    name = models.CharField(_("name"), max_length=120, blank=True)
    review_role = models.CharField(
        _("role in the accreditation group"),
        max_length=20,
        choices=ReviewRole,
        blank=True,
        default=ReviewRole.NONE,
    )
    is_staff = models.BooleanField(
        _("operator"), default=False, help_text=_("May use every page of the admin.")
    )
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(_("joined"), default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [
            # Not a unique column as well: two spellings of one address are one person.
            models.UniqueConstraint(Lower("email"), name="accounts_user_email_unique"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self)

    @property
    def is_reviewer(self) -> bool:
        """Whether the person may judge submissions (a lead reviewer may as well)."""
        return self.is_active and self.review_role in {ReviewRole.REVIEWER, ReviewRole.LEAD_REVIEWER}

    @property
    def is_lead_reviewer(self) -> bool:
        return self.is_active and self.review_role == ReviewRole.LEAD_REVIEWER
