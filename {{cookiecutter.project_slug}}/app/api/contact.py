"""POST /api/contact: a form, sent as JSON or as HTML forms send it."""

from typing import Annotated

from fastapi import Depends
from filerouter import RouteConfig, operation
from saaskit.errors import TooManyRequests, UnsupportedMediaType
from saaskit.ratelimit import Limit
from saaskit.web import json_or_form, json_or_form_body, problems

from app.contact import service as contact
from app.contact.schemas import ContactForm, ContactReceipt
from app.deps import AppSettings, Db, limit_per_network

config = RouteConfig(
    public=True,
    max_body_size=64 * 1024,
    dependencies=[limit_per_network(Limit("contact", max_requests=20, seconds=3600))],
    responses=problems(TooManyRequests, UnsupportedMediaType),
)
Form = Annotated[ContactForm, Depends(json_or_form(ContactForm))]


@operation(status_code=201, openapi_extra=json_or_form_body(ContactForm))
async def post(form: Form, db: Db, settings: AppSettings) -> ContactReceipt:
    """Send a message to the team."""
    return await contact.receive(db, form, team=settings.team_email)
