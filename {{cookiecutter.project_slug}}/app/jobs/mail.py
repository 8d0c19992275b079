"""Send mail."""

from app.core import mail
from app.core.jobs import Run, handles
from app.core.mail import Mail
from app.settings import get_settings


@handles(Mail)
def send_mail(job: Mail, run: Run) -> None:
    """Hand it to the SMTP server. `def`: the library blocks."""
    settings = get_settings()
    mail.deliver(mail.compose(job, run.id, settings), settings.smtp_url)
