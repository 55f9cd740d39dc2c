"""Questions that steps ask of the outside."""

import django.db.models.deletion
import django.db.models.functions.datetime
import scheduling.fields
import scheduling.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('scheduling', '0013_live_checks'),
        ('workers', '0004_retention'),
    ]

    operations = [
        migrations.AlterField(
            model_name='wait',
            name='kind',
            field=models.CharField(choices=[('timer', 'Timer')], max_length=10),
        ),
        migrations.CreateModel(
            name='Question',
            fields=[
                ('id', models.UUIDField(default=scheduling.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('path', models.CharField(max_length=400)),
                ('attempt', models.PositiveSmallIntegerField(help_text='Of the step that asks.')),
                ('kind', models.CharField(choices=[('approval', 'Approval')], max_length=10)),
                ('until', models.DateTimeField(help_text='When the time for an answer is over, if anybody has set one.', null=True)),
                ('asks', scheduling.fields.JSONBytesField(editable=True, help_text='What whoever answers has to know.')),
                ('answer', scheduling.fields.JSONBytesField(editable=True, null=True)),
                ('answered_at', models.DateTimeField(null=True)),
                ('closed_at', models.DateTimeField(help_text='When the step went on, or the run ended without it.', null=True)),
                ('outcome', models.CharField(blank=True, choices=[('approved', 'Approved'), ('rejected', 'Rejected'), ('expired', 'Expired'), ('withdrawn', 'Withdrawn')], db_default='', default='', max_length=10)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='questions', to='scheduling.run')),
            ],
            options={
                'verbose_name': 'approval',
                'indexes': [models.Index(models.F('kind'), models.F('id'), condition=models.Q(('closed_at', None)), name='question_open_idx')],
                'constraints': [models.UniqueConstraint(fields=('run', 'path', 'attempt'), name='question_of_attempt_unique'), models.CheckConstraint(condition=models.Q(models.Q(('answer', None), ('answered_at', None)), models.Q(('answer__isnull', False), ('answered_at__isnull', False)), _connector='OR'), name='question_answer_is_whole'), models.CheckConstraint(condition=models.Q(('closed_at', None), models.Q(('outcome', ''), _negated=True), _connector='OR'), name='question_closed_has_outcome')],
            },
        ),
    ]
