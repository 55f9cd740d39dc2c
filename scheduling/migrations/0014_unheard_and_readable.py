"""Events that have yet to be heard, and no schedule that nobody could read."""

import datetime
import scheduling.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('scheduling', '0013_live_checks'),
    ]

    operations = [
        migrations.AddField(
            model_name='event',
            name='is_unheard',
            field=models.BooleanField(db_default=False, default=False, help_text='It is stored, and the runs that it starts have yet to be.'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(models.F('id'), condition=models.Q(('is_unheard', True)), name='event_unheard_idx'),
        ),
        migrations.AddIndex(
            model_name='schedule',
            index=models.Index(models.F('id'), condition=models.Q(('state', 'quarantined')), name='schedule_quarantined_idx'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(('created_at__range', (datetime.datetime(1, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc))), ('updated_at__range', (datetime.datetime(1, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc))), ('condition_checked_for__range', (datetime.datetime(1, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc)))), name='schedule_stamps_readable'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(scheduling.fields.AllReadable('exdates'), scheduling.fields.AllReadable('rdates')), name='schedule_lists_readable'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(('jitter__range', (datetime.timedelta(0), datetime.timedelta(days=400000))), ('misfire_grace__range', (datetime.timedelta(0), datetime.timedelta(days=400000))), ('misfire_window__range', (datetime.timedelta(0), datetime.timedelta(days=400000)))), name='schedule_spans_readable'),
        ),
    ]
