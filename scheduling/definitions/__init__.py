"""How definitions are read: strictly, all problems at once, each with the JSON pointer of its place.

The serializers here are the one validator of what people and assistants write. Operations call them through `parse`,
so the API, the console and the commands refuse the same things with the same words, and the OpenAPI schema is made
from the same classes.
"""
