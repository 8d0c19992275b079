"""Sign-in with accounts elsewhere. Authlib speaks the protocols; what it leaves to us is checked here.

providers  from settings to providers: Google, GitHub, Microsoft, any OpenID Connect issuer
strict     OpenID Connect, with every check of Core §3.1.3.7, Discovery §4.3 and RFC 9207
oauth2     GitHub: OAuth 2, which says nothing about who somebody is: asked for at GitHub's API
person     what we believe of a provider's word
transport  requests that end: bounded in time and size, no redirects
"""
