"""POST /api/contact: a form, as JSON or as a browser sends it."""

from typing import Annotated

from fastapi import Depends

from app.core.errors import TooManyRequests, UnsupportedMediaType
from app.core.forms import body_of, json_or_form
from app.core.problems import problems
from app.deps import Db, Work
from app.schemas.contact import ContactForm, ContactReceipt
from app.services import contact
from filerouter import RouteConfig, operation

config = RouteConfig(
    public=True, max_body_size=64 * 1024, responses=problems(TooManyRequests, UnsupportedMediaType)
)
Form = Annotated[ContactForm, Depends(json_or_form(ContactForm))]


@operation(status_code=201, openapi_extra=body_of(ContactForm))
async def post(form: Form, db: Db, work: Work) -> ContactReceipt:
    """Write to the team."""
    return await contact.receive(db, work, form)
